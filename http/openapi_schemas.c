/*
 * openapi_schemas.c - see openapi.h: the shapes of bodies, as JSON Schema (draft 2020-12, which OpenAPI 3.1 takes).
 */
#include "http/openapi.h"

/* clang-format off */
#define REF(name)         "{'$ref':'#/components/schemas/" name "'}"
#define ARRAY(items)      "{'type':'array','items':" items "}"
#define LIST(name, items) "{'type':'object','required':['" name "'],'properties':{'" name "':" ARRAY(REF(items)) "}}"
#define TEXT              "{'type':'string'}"
#define TEXT_OR_NULL      "{'type':['string','null']}"
#define NUMBER            "{'type':'integer','minimum':0}"
#define NUMBER_OR_NULL    "{'type':['integer','null'],'minimum':0}"
#define BOOL              "{'type':'boolean'}"
#define TIME              "{'type':'string','format':'date-time'}"
#define TIME_OR_NULL      "{'type':['string','null'],'format':'date-time'}"
#define VERSION           "{'type':'string','pattern':'^[0-9]+$'}"
#define VERSION_OR_NULL   "{'type':['string','null'],'pattern':'^[0-9]+$'}"
#define PASSWORD          "{'type':'string','minLength':8,'maxLength':1024,'format':'password'}"
#define TEXTS_OR_NULL     "{'type':['array','null'],'items':{'type':'string'},'minItems':1,'maxItems':100}"
#define RIGHTS            "'role':" REF("Role") ",'databases':" TEXTS_OR_NULL ",'prefixes':" TEXTS_OR_NULL \
                          ",'prefixes64':" TEXTS_OR_NULL
#define SECRET            "'id':" TEXT ",'user':" TEXT "," RIGHTS ",'created_at':" TIME ",'expires_at':" TIME
#define ISOLATION         "{'enum':['serializable','snapshot','read_committed']}"
#define LIMIT             "'max_disk_bytes':{'oneOf':[{'type':'integer','minimum':33554432},{'type':'null'}," \
                          "{'const':'default'}]}"

const struct openapi_component openapi_schemas[] = {
    {"Object", "{'type':'object'}"},
    {"Role", "{'type':'string','enum':['admin','write','read','monitor']}"},
    /* keys */
    {"Item", "{'type':'object','required':['version','type','size'],'properties':{'key':" TEXT ",'key64':" TEXT
             ",'version':" VERSION_OR_NULL ",'type':" TEXT ",'size':" NUMBER ",'expires_at':" TIME
             ",'value':{},'text':" TEXT ",'base64':" TEXT ",'omitted':{'const':true}}}"},
    {"Listing", "{'type':'object','required':['items','prefixes','cursor','complete','version'],'properties':{'items':"
                ARRAY(REF("Item")) ",'prefixes':" ARRAY("{'type':['string','object']}") ",'cursor':" TEXT_OR_NULL
                ",'complete':" BOOL ",'version':" VERSION "}}"},
    {"Count", "{'type':'object','required':['count','exact'],'properties':{'count':" NUMBER ",'exact':" BOOL "}}"},
    {"ListingOrCount", "{'oneOf':[" REF("Listing") "," REF("Count") "]}"},
    {"Items", "{'type':'string','description':'An Item a line; version and size are passed over.'}"},
    {"Imported", "{'type':'object','required':['imported','expired','version'],'properties':{'imported':" NUMBER
                 ",'expired':" NUMBER ",'version':" VERSION_OR_NULL "}}"},
    {"MergePatch", "{'description':'RFC 7396'}"},
    {"Condition", "{'type':'object','additionalProperties':false,'properties':{'key':" TEXT ",'key64':" TEXT
                  ",'version':" VERSION ",'exists':" BOOL "}}"},
    {"Operation", "{'type':'object','additionalProperties':false,'required':['op'],'properties':{'op':{'enum':['put',"
                  "'get','delete','increment','touch']},'key':" TEXT ",'key64':" TEXT ",'value':{},'text':" TEXT
                  ",'base64':" TEXT ",'type':" TEXT ",'ttl':{'type':'integer','minimum':1,'maximum':3155760000},"
                  "'expires_at':" TIME ",'by':{'type':['integer','string'],'default':1}}}"},
    {"Batch", "{'type':'object','additionalProperties':false,'required':['ops'],'properties':{'if':"
              ARRAY(REF("Condition")) ",'ops':" ARRAY(REF("Operation")) "}}"},
    {"BatchResult", "{'type':'object','required':['version','results'],'properties':{'version':" VERSION_OR_NULL
                    ",'results':" ARRAY("{'type':['object','null']}") "}}"},
    /* transactions; a version is null of what they have written themselves */
    {"Nothing", "{'type':'object','additionalProperties':false}"},
    {"NewTransaction", "{'type':'object','additionalProperties':false,'properties':{'isolation':" ISOLATION "}}"},
    {"Transaction", "{'type':'object','required':['id','isolation','expires_at','idle_seconds'],'properties':{'id':"
                    TEXT ",'isolation':" ISOLATION ",'expires_at':" TIME ",'idle_seconds':" NUMBER "}}"},
    {"Transactions", "{'type':'object','required':['transactions'],'properties':{'transactions':" ARRAY(
                     "{'type':'object','required':['id_prefix','user','isolation','expires_at','begun_at'],"
                     "'properties':{'id_prefix':" TEXT ",'user':" TEXT_OR_NULL ",'isolation':" ISOLATION
                     ",'expires_at':" TIME ",'begun_at':" TIME "}}") "}}"},
    {"Committed", "{'type':'object','required':['version'],'properties':{'version':" VERSION "}}"},
    /* databases */
    {"Level", "{'type':'object','required':['level','tables','bytes'],'properties':{'level':" NUMBER ",'tables':" NUMBER
              ",'bytes':" NUMBER "}}"},
    {"Database", "{'type':'object','required':['name','status','size_bytes','keys_estimate','max_disk_bytes',"
                 "'limit_is_default','created_at','read_only'],'properties':{'name':" TEXT
                 ",'status':{'enum':['open','damaged']},'detail':" TEXT ",'size_bytes':" NUMBER_OR_NULL
                 ",'keys_estimate':" NUMBER_OR_NULL ",'max_disk_bytes':" NUMBER_OR_NULL ",'limit_is_default':" BOOL
                 ",'created_at':" TIME_OR_NULL ",'read_only':{'type':['boolean','null']},'levels':"
                 ARRAY(REF("Level")) "}}"},
    {"Databases", LIST("databases", "Database")},
    {"NewDatabase", "{'type':'object','additionalProperties':false,'required':['name'],'properties':{'name':{'type':"
                    "'string','pattern':'^[a-z0-9][a-z0-9_-]{0,62}$'}," LIMIT "}}"},
    {"Job", "{'type':'object','required':['id','kind','database','user','state','progress','created_at','started_at',"
            "'ended_at','error'],'properties':{'id':" TEXT ",'kind':{'enum':['flush','compact']},'database':" TEXT
            ",'user':" TEXT_OR_NULL ",'state':{'enum':['queued','running','done','failed','cancelled']},"
            "'progress':{'type':['number','null'],'minimum':0,'maximum':1},'created_at':" TIME ",'started_at':"
            TIME_OR_NULL ",'ended_at':" TIME_OR_NULL ",'error':" TEXT_OR_NULL "}}"},
    {"Jobs", LIST("jobs", "Job")},
    {"DatabaseChange", "{'type':'object','additionalProperties':false,'properties':{" LIMIT "}}"},
    /* sessions */
    {"Login", "{'type':'object','additionalProperties':false,'required':['username','password'],'properties':{"
              "'username':" TEXT ",'password':{'type':'string','format':'password'},'cookie':" BOOL "}}"},
    {"Session", "{'type':'object','required':['id','user','role','created_at','expires_at'],'properties':{" SECRET
                ",'current':" BOOL "}}"},
    {"NewSession", "{'type':'object','required':['id','user','role','created_at','expires_at'],'properties':{" SECRET
                   ",'token':" TEXT ",'csrf_token':" TEXT "}}"},
    {"Sessions", LIST("sessions", "Session")},
    {"Whoami", "{'type':'object','required':['user','role','databases','prefixes','login','users_configured'],"
               "'properties':{'user':" TEXT_OR_NULL "," RIGHTS
               ",'login':{'enum':['open','password','token','session']},'id':" TEXT ",'expires_at':" TIME_OR_NULL
               ",'csrf_token':" TEXT ",'users_configured':" BOOL "}}"},
    {"PasswordChange", "{'type':'object','additionalProperties':false,'required':['old_password','password'],"
                       "'properties':{'old_password':{'type':'string','format':'password'},'password':" PASSWORD "}}"},
    /* users and tokens */
    {"User", "{'type':'object','required':['name','role','databases','prefixes','configured','created_at'],"
             "'properties':{'name':" TEXT "," RIGHTS ",'configured':" BOOL ",'created_at':" TIME_OR_NULL "}}"},
    {"Users", LIST("users", "User")},
    {"NewUser", "{'type':'object','additionalProperties':false,'required':['name','password'],'properties':{'name':{"
                "'type':'string','pattern':'^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$'},'password':" PASSWORD "," RIGHTS "}}"},
    {"UserChange", "{'type':'object','additionalProperties':false,'properties':{'password':" PASSWORD "," RIGHTS "}}"},
    {"Token", "{'type':'object','required':['id','name','user','role','databases','prefixes','created_at',"
              "'expires_at'],'properties':{'name':" TEXT "," SECRET "}}"},
    {"TokenWithSecret", "{'allOf':[" REF("Token") ",{'type':'object','required':['token'],'properties':{'token':" TEXT
                        "}}]}"},
    {"Tokens", LIST("tokens", "Token")},
    {"NewToken", "{'type':'object','additionalProperties':false,'required':['name'],'properties':{'name':{'type':"
                 "'string','minLength':1,'maxLength':128},'expires_in_seconds':{'type':'integer','minimum':1,'maximum':"
                 "31622400}," RIGHTS "}}"},
    /* the audit log */
    {"AuditRow", "{'type':'object','required':['number','time','action','status','hash'],'properties':{'number':"
                 VERSION ",'time':" TIME ",'user':" TEXT_OR_NULL ",'login':" TEXT_OR_NULL ",'login_id':" TEXT_OR_NULL
                 ",'address':" TEXT_OR_NULL ",'action':" TEXT ",'database':" TEXT_OR_NULL ",'key':" TEXT_OR_NULL
                 ",'key64':" TEXT ",'key_hash':" TEXT ",'status':" NUMBER ",'request_id':" TEXT_OR_NULL ",'detail':"
                 TEXT_OR_NULL ",'hash':" TEXT "}}"},
    {"AuditPage", "{'type':'object','required':['rows','cursor'],'properties':{'rows':" ARRAY(REF("AuditRow"))
                  ",'cursor':" TEXT_OR_NULL "}}"},
    {"AuditVerification", "{'type':'object','required':['intact','rows','first','last','head'],'properties':{'intact':"
                          BOOL ",'rows':" NUMBER ",'first':" VERSION ",'last':" VERSION ",'head':" TEXT_OR_NULL
                          ",'broken_at':" VERSION ",'reason':" TEXT_OR_NULL "}}"},
    /* the configuration */
    {"Setting", "{'type':'object','required':['key','value','source'],'properties':{'key':" TEXT ",'value':{},'source':{"
                "'enum':['default','file','environment','flag']},'line':" NUMBER ",'option':" TEXT ",'reloadable':" BOOL
                ",'restart_pending':" BOOL "}}"},
    {"Configuration", "{'type':'object','required':['settings'],'properties':{'file':" TEXT_OR_NULL ",'settings':"
                      ARRAY(REF("Setting")) ",'users':" ARRAY(REF("Object")) "}}"},
};
/* clang-format on */

const size_t openapi_schema_count = sizeof openapi_schemas / sizeof openapi_schemas[0];
