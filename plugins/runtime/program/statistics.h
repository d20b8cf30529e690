// Latencies in milliseconds, summarised.
#pragma once

#include <string>
#include <vector>

namespace program {

struct Summary {
    double minimum, median, p99, mean;
};

// Of at least one value.
Summary summarise(std::vector<double> values);

std::string as_json(const Summary &summary);

// As "min 1.234 ms, median 1.3 ms, p99 1.5 ms".
std::string as_text(const Summary &summary);

}  // namespace program
