// The commands of the program. Each throws an Error for what it cannot use.
#pragma once

#include <string>
#include <vector>

namespace program {

void build_command(const std::vector<std::string> &arguments);
void run_command(const std::vector<std::string> &arguments);
void inspect_command(const std::vector<std::string> &arguments);

}  // namespace program
