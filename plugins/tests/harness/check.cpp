#include "check.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>

namespace harness {
namespace {

std::string subject_;

}  // namespace

void about(const std::string &subject) { subject_ = subject; }

void check(bool holds, const std::string &what, const std::string &detail) {
    std::printf("%-6s %s: %s", holds ? "ok" : "FAILED", subject_.c_str(), what.c_str());
    std::printf(detail.empty() ? "\n" : " [%s]\n", detail.c_str());
    std::fflush(stdout);
    if (!holds) std::exit(1);
}

std::string stderr_of(const std::function<void()> &body) {
    std::FILE *file = std::tmpfile();
    std::fflush(stderr);
    const int kept = dup(STDERR_FILENO);
    dup2(fileno(file), STDERR_FILENO);
    body();
    std::fflush(stderr);
    dup2(kept, STDERR_FILENO);
    close(kept);
    std::rewind(file);
    std::string text;
    for (int character = std::fgetc(file); character != EOF; character = std::fgetc(file))
        text += static_cast<char>(character);
    std::fclose(file);
    return text;
}

void check_refusal(const std::string &what, const std::function<bool()> &body,
                   const std::initializer_list<std::string> &words) {
    bool refused = false;
    const std::string line = stderr_of([&] { refused = body(); });
    const bool one_line = !line.empty() && line.find('\n') == line.size() - 1;
    bool clear = one_line;
    for (const std::string &word : words) clear = clear && line.find(word) != std::string::npos;
    const std::string detail = line.empty() ? "nothing on stderr" : line.substr(0, line.size() - 1);
    check(refused && clear, what + (refused ? " is refused, in one clear line" : " is refused"), detail);
}

}  // namespace harness
