#include "statistics.h"

#include "json.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <numeric>

namespace program {

Summary summarise(std::vector<double> values) {
    std::sort(values.begin(), values.end());
    const size_t count = values.size(), middle = count / 2;
    const double median = count % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
    const auto p99 = static_cast<size_t>(std::ceil(0.99 * static_cast<double>(count))) - 1;
    const double mean = std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(count);
    return {values.front(), median, values[p99], mean};
}

std::string as_json(const Summary &summary) {
    return JsonObject()
        .add("min", summary.minimum)
        .add("median", summary.median)
        .add("p99", summary.p99)
        .add("mean", summary.mean)
        .text();
}

std::string as_text(const Summary &summary) {
    char text[96];
    std::snprintf(text, sizeof(text), "min %.4f ms, median %.4f ms, p99 %.4f ms", summary.minimum, summary.median,
                  summary.p99);
    return text;
}

}  // namespace program
