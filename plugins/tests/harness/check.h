// One line per check; the first that fails ends the program with exit code 1.
#pragma once

#include <functional>
#include <initializer_list>
#include <string>

namespace harness {

// What the following checks are about, in front of their lines.
void about(const std::string &subject);

void check(bool holds, const std::string &what, const std::string &detail = "");

// What `body` writes to stderr.
std::string stderr_of(const std::function<void()> &body);

// Checks that `body`, which is to refuse something, returns true and writes one line with all these words to stderr.
void check_refusal(const std::string &what, const std::function<bool()> &body,
                   const std::initializer_list<std::string> &words);

}  // namespace harness
