# A library exports op.h and EXPORTS, and takes nothing from TensorRT.
set(expected ${EXPORTS} attnexport_abi attnexport_build_info attnexport_ops)
execute_process(COMMAND ${NM} -D --defined-only --format=posix ${LIBRARY} OUTPUT_VARIABLE defined
                COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND ${NM} -D --undefined-only ${LIBRARY} OUTPUT_VARIABLE undefined
                COMMAND_ERROR_IS_FATAL ANY)

string(REGEX MATCHALL "[^\n]+" lines "${defined}")
set(exported "")
foreach(line IN LISTS lines)
    string(REGEX MATCH "^[^ ]+" symbol "${line}")
    list(APPEND exported "${symbol}")
endforeach()
list(SORT expected)
list(SORT exported)
if(NOT exported STREQUAL expected)
    message(FATAL_ERROR "${LIBRARY} exports ${exported}, expected ${expected}")
endif()
if(undefined MATCHES "nvinfer|getPluginRegistry|getLogger")
    message(FATAL_ERROR "${LIBRARY} needs symbols of TensorRT: ${undefined}")
endif()
