// toml.cpp - toml++ behind the C interface of toml.h.

// toml++ 3.3 asserts what a malformed text does not hold ("[=]"): it would end the process, or with NDEBUG be an
// assumption that a compiler may build on. Without either, the text comes to toml++'s own error.
#undef NDEBUG
#define TOML_ASSERT(expr)      static_assert(true)
#define TOML_EXCEPTIONS        0
#define TOML_ENABLE_FORMATTERS 0
#include <toml++/toml.h>

#include "server/toml.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

namespace {

// Looks for what the parser must not see: it recurses, and what is not ASCII outside of strings and comments, where
// TOML allows none, leads it to code that counts as unreachable (its table of white space). Goes wrong only behind the
// first error of a text that is no TOML, and so does the parser stop there.
class scanner {
  public:
    explicit scanner(std::string_view text) : text(text) {}

    const char *objection = nullptr; // to the text, at `line`
    unsigned line = 1;

    bool accepts() {
        if (text.substr(0, 3) == "\xEF\xBB\xBF") at = 3; // a mark of the byte order
        while (at < text.size() && !objection) {
            char c = text[at];
            if (c == '"' || c == '\'')
                skip_string(c);
            else if (c == '#')
                at = std::min(text.find('\n', at), text.size());
            else
                count(c);
        }
        return !objection;
    }

  private:
    std::string_view text;
    std::size_t at = 0;
    unsigned brackets = 0, names = 1;

    bool ascii() const { return at >= text.size() || static_cast<unsigned char>(text[at]) < 0x80; }

    void count(char c) {
        if (!ascii()) objection = "a character that may stand in texts and comments only";
        switch (c) {
        case '\n':
            line++;
            names = 1;
            break;
        case '.': names++; break;
        case '[':
        case '{':
            brackets++;
            names = 1;
            break;
        case ']':
        case '}': brackets -= brackets > 0; [[fallthrough]];
        case '=':
        case ',': names = 1; break;
        default: break;
        }
        if (brackets > TOML_MAX_BRACKETS || names > TOML_MAX_NAMES) objection = "nested too deeply";
        if (!objection) at++;
    }

    // What stands behind a backslash: one character, or the end of a line and all white space.
    void skip_escaped() {
        bool goes_on = at < text.size() && std::strchr(" \t\r\n", text[at]);
        for (; goes_on && at < text.size() && std::strchr(" \t\r\n", text[at]); at++) line += text[at] == '\n';
        if (!ascii()) objection = "a backslash, and then a character that is not ASCII";
        if (!goes_on && at < text.size() && !objection) at++;
    }

    // A string over several lines ends with three quotes, any other with one or, wrongly, with its line.
    void skip_string(char quote) {
        bool multiline = text.substr(at, 3) == std::string(3, quote);
        at += multiline ? 3 : 1;
        while (at < text.size() && !objection) {
            if (text[at] == '\n') {
                if (!multiline) return;
                line++;
                at++;
            } else if (quote == '"' && text[at] == '\\') {
                at++;
                skip_escaped();
            } else if (text[at] == quote && (!multiline || text.substr(at, 3) == std::string(3, quote))) {
                at += multiline ? 3 : 1;
                // The last quotes of the content may stand right before the three that end it.
                for (int more = 0; multiline && more < 2 && at < text.size() && text[at] == quote; more++) at++;
                return;
            } else {
                at++;
            }
        }
    }
};

struct entry {
    std::string section;
    unsigned depth;
    std::string key;
    unsigned line;
    const toml::node *node; // null: the section's header
};

unsigned line_of(const toml::node &node) {
    return static_cast<unsigned>(node.source().begin.line);
}

// A text with a NUL inside would be cut short by C: it is no setting's value.
bool is_plain(const std::string &text) {
    return text.find('\0') == std::string::npos;
}

// A name as it is shown and compared: no known one has a control character, and messages are one line. Nor has one at
// the top a dot: what comes before the first dot of a section is the name at the top.
std::string shown(std::string_view name, bool top) {
    std::string text(name);
    std::replace_if(
        text.begin(), text.end(), [top](unsigned char c) { return c < ' ' || c == 0x7f || (top && c == '.'); }, '?');
    return text;
}

void flatten(const toml::table &table, const std::string &section, unsigned depth, std::vector<entry> &entries) {
    for (auto &&[key, node] : table) {
        std::string name = shown(key.str(), depth == 0);
        if (const toml::table *inner = node.as_table()) {
            std::string inner_section = depth ? section + "." + name : name;
            entries.push_back({inner_section, depth + 1, "", line_of(node), nullptr});
            flatten(*inner, inner_section, depth + 1, entries);
        } else {
            entries.push_back({section, depth, name, line_of(node), &node});
        }
    }
}

// Fills `value` from the node; `items` keeps what a list's value points to.
void convert(const toml::node &node, toml_value &value, std::vector<const char *> &items) {
    value.type = TOML_OTHER;
    if (auto text = node.as_string()) {
        if (!is_plain(text->get())) return;
        value.type = TOML_TEXT;
        value.text = text->get().c_str();
    } else if (auto integer = node.as_integer()) {
        value.type = TOML_INTEGER;
        value.integer = integer->get();
    } else if (auto real = node.as_floating_point()) {
        value.type = TOML_REAL;
        value.real = real->get();
    } else if (auto on = node.as_boolean()) {
        value.type = TOML_SWITCH;
        value.on = on->get();
    } else if (auto list = node.as_array()) {
        for (auto &&item : *list) {
            auto text = item.as_string();
            if (!text || !is_plain(text->get())) return;
            items.push_back(text->get().c_str());
        }
        value.type = TOML_LIST;
        value.items = items.data();
        value.item_count = items.size();
    }
}

bool visit_all(const toml::table &root, bool (*visit)(void *, const toml_entry *), void *arg) {
    std::vector<entry> entries;
    flatten(root, "", 0, entries);
    // toml++ sorts by name; a person expects the first error of the file first.
    std::stable_sort(entries.begin(), entries.end(), [](const entry &a, const entry &b) { return a.line < b.line; });
    for (const entry &e : entries) {
        toml_entry out = {};
        std::vector<const char *> items;
        out.section = e.section.c_str();
        out.depth = e.depth;
        out.key = e.key.c_str();
        out.line = e.line;
        if (e.node)
            convert(*e.node, out.value, items);
        else
            out.value.type = TOML_SECTION;
        if (!visit(arg, &out)) return false;
    }
    return true;
}

} // namespace

extern "C" bool toml_parse(const char *text, size_t size, bool (*visit)(void *, const toml_entry *), void *arg,
                           unsigned *line, char *error, size_t error_size) {
    scanner scanner(std::string_view(text, size));
    *line = scanner.accepts() ? 0 : scanner.line;
    if (*line) {
        (void)snprintf(error, error_size, "%s", scanner.objection);
        return false;
    }
    try {
        toml::parse_result result = toml::parse(std::string_view(text, size));
        if (result) return visit_all(result.table(), visit, arg);
        *line = static_cast<unsigned>(result.error().source().begin.line);
        (void)snprintf(error, error_size, "%s", shown(result.error().description(), false).c_str());
    } catch (const std::exception &e) { // memory
        *line = 1;
        (void)snprintf(error, error_size, "%s", e.what());
    }
    return false;
}
