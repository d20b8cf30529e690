/* Prints the layout of attnrt's structs, and is C rather than C++: the header has to serve both. */
#include "attnexport/attnrt.h"

#include <stdio.h>

#define STRUCT(type) printf("%s %zu\n", #type, sizeof(type))
#define FIELD(type, field) printf("%s.%s %zu\n", #type, #field, offsetof(type, field))

int main(void) {
    STRUCT(attnrt_profile);
    FIELD(attnrt_profile, input);
    FIELD(attnrt_profile, rank);
    FIELD(attnrt_profile, minimum);
    FIELD(attnrt_profile, optimum);
    FIELD(attnrt_profile, maximum);
    STRUCT(attnrt_build_request);
    FIELD(attnrt_build_request, model);
    FIELD(attnrt_build_request, profiles);
    FIELD(attnrt_build_request, num_profiles);
    FIELD(attnrt_build_request, allow_float16);
    FIELD(attnrt_build_request, plugins);
    FIELD(attnrt_build_request, embed_plugins);
    FIELD(attnrt_build_request, cublas_cudnn);
    FIELD(attnrt_build_request, timing_cache);
    FIELD(attnrt_build_request, timing_cache_bytes);
    FIELD(attnrt_build_request, workspace_bytes);
    STRUCT(attnrt_tensor);
    FIELD(attnrt_tensor, name);
    FIELD(attnrt_tensor, is_input);
    FIELD(attnrt_tensor, dtype);
    FIELD(attnrt_tensor, rank);
    FIELD(attnrt_tensor, dims);
    FIELD(attnrt_tensor, minimum);
    FIELD(attnrt_tensor, optimum);
    FIELD(attnrt_tensor, maximum);
    STRUCT(attnrt_array);
    FIELD(attnrt_array, name);
    FIELD(attnrt_array, data);
    FIELD(attnrt_array, dtype);
    FIELD(attnrt_array, rank);
    FIELD(attnrt_array, dims);
    STRUCT(attnrt_memory);
    FIELD(attnrt_memory, scratch);
    FIELD(attnrt_memory, loaded);
    STRUCT(attnrt_times);
    FIELD(attnrt_times, gpu);
    FIELD(attnrt_times, enqueue);
    FIELD(attnrt_times, call);
    FIELD(attnrt_times, run);
    return 0;
}
