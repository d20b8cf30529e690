#include <common/registry.h>

#include <algorithm>
#include <cstring>
#include <vector>

namespace attnexport {
namespace {

std::vector<const attnexport_op *> &table() {
    static std::vector<const attnexport_op *> ops;
    return ops;
}

}  // namespace

Registration::Registration(const attnexport_op &op) {
    auto &ops = table();
    const auto by_name = [](const attnexport_op *a, const attnexport_op *b) {
        return std::strcmp(a->name, b->name) < 0;
    };
    ops.insert(std::upper_bound(ops.begin(), ops.end(), &op, by_name), &op);
}

}  // namespace attnexport

const attnexport_op *const *attnexport_ops(int32_t *count) {
    const auto &ops = attnexport::table();
    *count = static_cast<int32_t>(ops.size());
    return ops.data();
}

int32_t attnexport_abi(void) { return ATTNEXPORT_ABI; }

#ifndef ATTNEXPORT_BUILD_INFO
#define ATTNEXPORT_BUILD_INFO "{}"
#endif

const char *attnexport_build_info(void) { return ATTNEXPORT_BUILD_INFO; }
