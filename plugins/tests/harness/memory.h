// Memory of a run, on the device or on the host, between guard zones that tell of a write outside.
#pragma once

#include <cstddef>
#include <vector>

namespace harness {

enum class Place { kHost, kDevice };

class Buffer {
  public:
    // All bits are set: NaN for every floating type.
    Buffer(Place place, size_t bytes);
    Buffer(Place place, const std::vector<char> &data);
    Buffer(const Buffer &) = delete;
    Buffer(Buffer &&other) noexcept;
    ~Buffer();

    void *data() const;
    std::vector<char> read() const;
    void fill_with_nans();
    bool guards_intact() const;

  private:
    std::vector<char> read_all() const;

    Place place_;
    size_t bytes_;
    char *base_ = nullptr;
};

}  // namespace harness
