// toml.cpp - toml++ behind the C interface of toml.h.
#define TOML_EXCEPTIONS        0
#define TOML_ENABLE_FORMATTERS 0
#include <toml++/toml.h>

#include "server/toml.h"

#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

namespace {

struct entry {
    std::string section;
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

std::vector<entry> flatten(const toml::table &root) {
    std::vector<entry> entries;
    for (auto &&[name, node] : root) {
        const toml::table *section = node.as_table();
        if (!section) {
            entries.push_back({"", std::string(name.str()), line_of(node), &node});
            continue;
        }
        entries.push_back({std::string(name.str()), "", line_of(node), nullptr});
        for (auto &&[key, value] : *section)
            entries.push_back({std::string(name.str()), std::string(key.str()), line_of(value), &value});
    }
    // toml++ sorts by name; a person expects the first error of the file first.
    std::stable_sort(entries.begin(), entries.end(), [](const entry &a, const entry &b) { return a.line < b.line; });
    return entries;
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
    for (const entry &e : flatten(root)) {
        toml_entry out = {};
        std::vector<const char *> items;
        out.section = e.section.c_str();
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
    *line = 0;
    try {
        toml::parse_result result = toml::parse(std::string_view(text, size));
        if (result) return visit_all(result.table(), visit, arg);
        *line = static_cast<unsigned>(result.error().source().begin.line);
        std::string_view what = result.error().description();
        (void)snprintf(error, error_size, "%.*s", static_cast<int>(what.size()), what.data());
    } catch (const std::exception &e) { // memory
        *line = 1;
        (void)snprintf(error, error_size, "%s", e.what());
    }
    return false;
}
