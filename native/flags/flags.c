/*
 * An addon whose loading is its whole work: takes V8's flag --no-rehash-snapshot back.
 *
 * Short-lived programs start Node with that flag, because a random hash seed costs them 4 ms (scripts/launch). Code
 * that was compiled ahead, Node's own modules included, is accepted only under the flags it was compiled with.
 */
#include <stddef.h>

/* v8::V8::SetFlagsFromString(const char *, size_t) */
void _ZN2v82V818SetFlagsFromStringEPKcm(const char *flags, size_t length);

void *napi_register_module_v1(void *env, void *exports);

void *napi_register_module_v1(void *env, void *exports)
{
	static const char flags[] = "--rehash-snapshot";

	(void)env;
	_ZN2v82V818SetFlagsFromStringEPKcm(flags, sizeof(flags) - 1);
	return exports;
}
