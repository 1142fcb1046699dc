#define _GNU_SOURCE
#include "addon.h"
#include "json_log.h"

/* decodeJsonLog(input, start, end, output, streams, flags, since, until, result): see src/sys/json-log.ts */
static napi_value decode(napi_env env, napi_callback_info info) {
  size_t count = 9, input_length, output_length, result_length;
  napi_value arguments[9];
  uint8_t *input, *output;
  uint32_t *result, start, end, streams, flags;
  int64_t since, until;
  bool lossless;
  napi_typedarray_type type;
  if (napi_get_cb_info(env, info, &count, arguments, NULL, NULL) != napi_ok || count != 9 ||
      napi_get_typedarray_info(env, arguments[0], &type, &input_length, (void **)&input, NULL, NULL) != napi_ok || type != napi_uint8_array ||
      napi_get_value_uint32(env, arguments[1], &start) != napi_ok || napi_get_value_uint32(env, arguments[2], &end) != napi_ok ||
      napi_get_typedarray_info(env, arguments[3], &type, &output_length, (void **)&output, NULL, NULL) != napi_ok || type != napi_uint8_array ||
      napi_get_value_uint32(env, arguments[4], &streams) != napi_ok || napi_get_value_uint32(env, arguments[5], &flags) != napi_ok ||
      napi_get_value_bigint_int64(env, arguments[6], &since, &lossless) != napi_ok ||
      napi_get_value_bigint_int64(env, arguments[7], &until, &lossless) != napi_ok ||
      napi_get_typedarray_info(env, arguments[8], &type, &result_length, (void **)&result, NULL, NULL) != napi_ok || type != napi_uint32_array ||
      result_length < 4 || start > end || end > input_length) {
    napi_throw_type_error(env, NULL, "decodeJsonLog: bad arguments");
    return NULL;
  }
  struct json_log_options options = {
    .out = streams & 1, .err = streams & 2, .frames = flags & 1, .timestamps = flags & 2, .details = flags & 4, .since = since, .until = until};
  struct json_log_result decoded;
  json_log_decode(input + start, end - start, output, output_length, &options, &decoded);
  result[0] = (uint32_t)decoded.consumed;
  result[1] = (uint32_t)decoded.produced;
  result[2] = (uint32_t)decoded.records;
  result[3] = (decoded.past_until ? 1u : 0u) | (decoded.output_full ? 2u : 0u);
  return NULL;
}

/* jsonLogLineTime(line): bigint, INT64_MIN when it is no record */
static napi_value line_time(napi_env env, napi_callback_info info) {
  size_t count = 1, length;
  napi_value argument, value;
  uint8_t *line;
  napi_typedarray_type type;
  if (napi_get_cb_info(env, info, &count, &argument, NULL, NULL) != napi_ok || count != 1 ||
      napi_get_typedarray_info(env, argument, &type, &length, (void **)&line, NULL, NULL) != napi_ok || type != napi_uint8_array) {
    napi_throw_type_error(env, NULL, "jsonLogLineTime: takes a Uint8Array");
    return NULL;
  }
  napi_create_bigint_int64(env, json_log_line_time(line, length), &value);
  return value;
}

int register_log(napi_env env, napi_value exports) {
  return addon_function(env, exports, "decodeJsonLog", decode) || addon_function(env, exports, "jsonLogLineTime", line_time) ? -1 : 0;
}
