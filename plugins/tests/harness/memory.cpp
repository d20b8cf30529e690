#include "memory.h"

#include "cuda_check.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <utility>

namespace harness {
namespace {

constexpr size_t kGuard = 1024;
constexpr char kGuardByte = 0x5a;

}  // namespace

Buffer::Buffer(Place place, size_t bytes) : Buffer(place, std::vector<char>(bytes, static_cast<char>(0xff))) {}

Buffer::Buffer(Place place, const std::vector<char> &data) : place_(place), bytes_(data.size()) {
    const size_t padded = (bytes_ + 255) / 256 * 256, all = padded + 2 * kGuard;
    std::vector<char> filled(all, kGuardByte);
    std::copy(data.begin(), data.end(), filled.begin() + kGuard);
    if (place_ == Place::kDevice) {
        cuda_check(cudaMalloc(reinterpret_cast<void **>(&base_), all));
        cuda_check(cudaMemcpy(base_, filled.data(), all, cudaMemcpyHostToDevice));
    } else {
        base_ = static_cast<char *>(std::aligned_alloc(256, all));
        std::memcpy(base_, filled.data(), all);
    }
}

Buffer::Buffer(Buffer &&other) noexcept
    : place_(other.place_), bytes_(other.bytes_), base_(std::exchange(other.base_, nullptr)) {}

Buffer::~Buffer() {
    if (place_ == Place::kDevice)
        cudaFree(base_);
    else
        std::free(base_);
}

void *Buffer::data() const { return base_ + kGuard; }

std::vector<char> Buffer::read_all() const {
    std::vector<char> all((bytes_ + 255) / 256 * 256 + 2 * kGuard);
    if (place_ == Place::kDevice)
        cuda_check(cudaMemcpy(all.data(), base_, all.size(), cudaMemcpyDeviceToHost));
    else
        std::memcpy(all.data(), base_, all.size());
    return all;
}

std::vector<char> Buffer::read() const {
    const std::vector<char> all = read_all();
    return {all.begin() + kGuard, all.begin() + static_cast<std::ptrdiff_t>(kGuard + bytes_)};
}

void Buffer::fill_with_nans() {
    if (place_ == Place::kDevice)
        cuda_check(cudaMemset(data(), 0xff, bytes_));
    else
        std::memset(data(), 0xff, bytes_);
}

bool Buffer::guards_intact() const {
    const std::vector<char> all = read_all();
    const auto intact = [](char byte) { return byte == kGuardByte; };
    return std::all_of(all.begin(), all.begin() + kGuard, intact) &&
           std::all_of(all.begin() + static_cast<std::ptrdiff_t>(kGuard + bytes_), all.end(), intact);
}

}  // namespace harness
