// Atomic operations. Threads change places in collectives and barriers only, so that plain code is atomic.
#pragma once

#include <type_traits>

template <class T>
T atomicAdd(T *at, std::common_type_t<T> value) {
    const T before = *at;
    *at = before + value;
    return before;
}

template <class T>
T atomicMin(T *at, std::common_type_t<T> value) {
    const T before = *at;
    if (value < before) *at = value;
    return before;
}

template <class T>
T atomicMax(T *at, std::common_type_t<T> value) {
    const T before = *at;
    if (before < value) *at = value;
    return before;
}

template <class T>
T atomicAnd(T *at, std::common_type_t<T> value) {
    const T before = *at;
    *at = before & value;
    return before;
}

template <class T>
T atomicOr(T *at, std::common_type_t<T> value) {
    const T before = *at;
    *at = before | value;
    return before;
}

template <class T>
T atomicExch(T *at, std::common_type_t<T> value) {
    const T before = *at;
    *at = value;
    return before;
}

template <class T>
T atomicCAS(T *at, std::common_type_t<T> expected, std::common_type_t<T> value) {
    const T before = *at;
    if (before == expected) *at = value;
    return before;
}
