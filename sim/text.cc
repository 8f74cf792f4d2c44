/* Finds inline assembly and kernel names in a text by looking at words and brackets only. */
#include "sim/text.h"

#include <cctype>
#include <cstdlib>

namespace
{

bool is_word(char c)
{
    return isalnum(static_cast<unsigned char>(c)) || c == '_';
}

size_t skip_space(const std::string &t, size_t at)
{
    while (at < t.size() && isspace(static_cast<unsigned char>(t[at])))
        at++;
    return at;
}

/* Index behind the bracket that closes the one at `at`; strings are skipped. */
size_t closing(const std::string &t, size_t at)
{
    int depth = 0;

    for (bool quoted = false; at < t.size(); at++) {
        if (t[at] == '"' && t[at - 1] != '\\')
            quoted = !quoted;
        if (quoted)
            continue;
        depth += (t[at] == '(') - (t[at] == ')');
        if (depth == 0)
            return at + 1;
    }
    return std::string::npos;
}

/* Parts between separators at bracket depth 0 and outside of strings. */
std::vector<std::string> split(const std::string &t, char separator)
{
    std::vector<std::string> parts(1);
    int depth = 0;
    bool quoted = false;

    for (size_t i = 0; i < t.size(); i++) {
        if (t[i] == '"' && (i == 0 || t[i - 1] != '\\'))
            quoted = !quoted;
        if (!quoted)
            depth += (t[i] == '(') - (t[i] == ')');
        if (t[i] == separator && depth == 0 && !quoted)
            parts.emplace_back();
        else
            parts.back() += t[i];
    }
    return parts;
}

/* The expressions of "=f"(value), "h"(bits). */
void add_operands(const std::string &list, std::string *call)
{
    for (const std::string &operand : split(list, ',')) {
        const size_t open = operand.find('(');

        if (open == std::string::npos)
            continue;
        *call += (call->back() == '(' ? "" : ", ") +
                 operand.substr(open, closing(operand, open) - open);
    }
}

/* "cvt.f32.f16 %0, %1;" names the function; operands must be used in their order. */
std::string call_of(const std::string &inside)
{
    const std::vector<std::string> parts = split(inside, ':');
    const size_t quote = parts[0].find('"');
    std::string call = "sim_ptx_";

    for (size_t i = quote + 1;
         i < parts[0].size() && !isspace(static_cast<unsigned char>(parts[0][i])); i++)
        call += parts[0][i] == '.' ? '_' : parts[0][i];
    call += '(';
    for (size_t i = 1; i < parts.size() && i < 3; i++)
        add_operands(parts[i], &call);
    return call + ')';
}

/* Next whole word at or behind `at`, not on a line that begins with '#'. */
size_t find_word(const std::string &t, const std::string &word, size_t at)
{
    while ((at = t.find(word, at)) != std::string::npos) {
        const size_t line = t.rfind('\n', at) + 1;

        if (t[skip_space(t, line)] != '#' && (at == 0 || !is_word(t[at - 1])) &&
            !is_word(t[at + word.size()]))
            return at;
        at += word.size();
    }
    return at;
}

/* The word in front of the first bracket that is neither bounds nor attributes. */
sim::Entry entry_at(const std::string &t, size_t at)
{
    sim::Entry e{ "", 0 };

    for (;;) {
        size_t begin = skip_space(t, at), end = begin;

        while (end < t.size() && is_word(t[end]))
            end++;
        const std::string word = t.substr(begin, end - begin);
        const size_t open = skip_space(t, end);
        if (end == begin || open >= t.size())
            return e;
        at = end;
        if (t[open] != '(')
            continue;
        if (word != "KERNEL" && word != "__launch_bounds__" && word != "__attribute__") {
            e.name = word;
            return e;
        }
        const size_t number = t.find_first_of("0123456789", open);
        if (word != "__attribute__" || t.compare(open, 9, "((global,") == 0)
            e.max_threads = static_cast<unsigned>(atoi(t.c_str() + number));
        at = closing(t, open);
    }
}

} // namespace

std::string sim::without_asm(const std::string &text)
{
    std::string out;
    size_t from = 0;

    for (size_t at; (at = find_word(text, "asm", from)) != std::string::npos;) {
        size_t open = skip_space(text, at + 3);

        if (text.compare(open, 8, "volatile") == 0)
            open = skip_space(text, open + 8);
        if (text[open] != '(') {
            out += text.substr(from, open - from);
            from = open;
            continue;
        }
        const size_t end = closing(text, open);
        if (end == std::string::npos)
            break;
        const std::string inside = text.substr(open + 1, end - open - 2);

        out += text.substr(from, at - from) + /* no instruction: for the compiler only */
               (inside.compare(0, 2, "\"\"") == 0 ? "(void)0" : call_of(inside));
        from = end;
    }
    return out + text.substr(from);
}

std::vector<sim::Entry> sim::entries(const std::string &text)
{
    std::vector<Entry> found;

    for (const char *word : { "KERNEL", "__global__" })
        for (size_t at = 0; (at = find_word(text, word, at)) != std::string::npos; at++) {
            const Entry e = entry_at(text, word[0] == 'K' ? at : at + 10);

            if (!e.name.empty())
                found.push_back(e);
        }
    return found;
}
