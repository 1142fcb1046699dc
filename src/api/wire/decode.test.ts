import assert from "node:assert/strict";
import { test } from "node:test";
import { createRequestSchema } from "../../core/container-config.ts";
import { print, zero } from "../../lib/schema.ts";
import { decode, parseBody } from "./decode.ts";

const create = (text: string) => decode(createRequestSchema, parseBody(text));
const refuses = (text: string, message: string): void => assert.throws(() => create(text), { code: "invalid-parameter", message });

test("keys match without regard to case, unknown ones are ignored, the last of several wins", () => {
  const request = create('{"image":"a","IMAGE":"b","NoSuch":{"x":[1]},"hostConfig":{"memory":5,"__proto__":{"Memory":9}}}');
  assert.equal(request.Image, "b");
  assert.equal(request.HostConfig?.Memory, 5);
});

test("a second object is merged, a second list replaces", () => {
  const request = create('{"HostConfig":{"Memory":1,"Binds":["a"]},"HostConfig":{"NanoCpus":2,"Binds":["b"]},"Labels":{"a":"1"},"Labels":{"b":"2"}}');
  assert.deepEqual([request.HostConfig?.Memory, request.HostConfig?.NanoCpus, request.HostConfig?.Binds], [1, 2, ["b"]]);
  assert.deepEqual(request.Labels, { a: "1", b: "2" });
});

test("null is no value: plain fields keep theirs, lists and pointers become null", () => {
  const request = create('{"User":"u","User":null,"Env":["a"],"Env":null,"HostConfig":{"Init":true,"Init":null}}');
  assert.deepEqual([request.User, request.Env, request.HostConfig?.Init], ["u", null, null]);
});

test("outside keys cannot reach a prototype", () => {
  const request = create('{"Labels":{"__proto__":"x","constructor":"y"}}');
  assert.deepEqual(Object.entries(request.Labels ?? {}), [["__proto__", "x"], ["constructor", "y"]]);
  assert.equal(({} as Record<string, unknown>)["x"], undefined);
});

test("values of a wrong type are reported in Go's words, the first one", () => {
  refuses('{"Tty":"x","Hostname":1}', "invalid JSON: json: cannot unmarshal string into Go struct field CreateRequest.Config.Tty of type bool");
  refuses('{"HostConfig":{"Memory":"1"}}', "invalid JSON: json: cannot unmarshal string into Go struct field HostConfig.HostConfig.Resources.Memory of type int64");
  refuses('{"HostConfig":{"Memory":1.5}}', "invalid JSON: json: cannot unmarshal number 1.5 into Go struct field HostConfig.HostConfig.Resources.Memory of type int64");
  refuses('{"HostConfig":{"BlkioWeight":65536}}', "invalid JSON: json: cannot unmarshal number 65536 into Go struct field HostConfig.HostConfig.Resources.BlkioWeight of type uint16");
  refuses('{"HostConfig":{"RestartPolicy":"always"}}', "invalid JSON: json: cannot unmarshal string into Go struct field HostConfig.HostConfig.RestartPolicy of type container.RestartPolicy");
  refuses('{"HostConfig":{"Memory":9223372036854775808}}', "invalid JSON: json: cannot unmarshal number 9223372036854775808 into Go struct field HostConfig.HostConfig.Resources.Memory of type int64");
  refuses("[]", "invalid JSON: json: cannot unmarshal array into Go value of type CreateRequest");
});

test("malformed documents are refused in Go's words", () => {
  for (const [text, message] of [
    ["", "EOF"],
    [" ", "EOF"],
    ["{", "unexpected EOF"],
    ['{"a', "unexpected EOF"],
    ["x", "invalid character 'x' looking for beginning of value"],
    ["{x", "invalid character 'x' looking for beginning of object key string"],
    ['{"a"x', "invalid character 'x' after object key"],
    ['{"a":1x', "invalid character 'x' after object key:value pair"],
    ["[1 2]", "invalid character '2' after array element"],
    ["[1,]", "invalid character ']' looking for beginning of value"],
    ["trux", "invalid character 'x' in literal true (expecting 'e')"],
    ['"\\x"', "invalid character 'x' in string escape code"],
    ['"\\u12x4"', "invalid character 'x' in \\u hexadecimal character escape"],
    ['"a\nb"', "invalid character '\\n' in string literal"],
    ["[-x]", "invalid character 'x' in numeric literal"],
    ["[1.x]", "invalid character 'x' after decimal point in numeric literal"],
    ["[1e+x]", "invalid character 'x' in exponent of numeric literal"],
    ["[".repeat(100_000), "invalid character '[' exceeded max depth"],
  ] as const) {
    refuses(text, `invalid JSON: ${message}`);
  }
  refuses("{} {}", "unexpected content after JSON");
});

test("special forms: addresses, ports, large numbers", () => {
  const request = create('{"ExposedPorts":{"80":{},"53/UDP":{}},"HostConfig":{"Dns":["2001:DB8:0::1"],"Memory":9223372036854771712,"ConsoleSize":[24,80,1],"Ulimits":[{"Name":"core","Hard":-1}]}}');
  assert.deepEqual(Object.keys(request.ExposedPorts ?? {}), ["80/tcp", "53/udp"]);
  assert.deepEqual(request.HostConfig?.Dns, ["2001:db8::1"]);
  const printed = print(createRequestSchema, request);
  assert.match(printed, /"Memory":9223372036854771712/);
  assert.match(printed, /"ConsoleSize":\[24,80\]/);
  assert.match(printed, /"Ulimits":\[\{"Name":"core","Hard":-1,"Soft":0\}\]/);
  refuses('{"HostConfig":{"Dns":["999.1.1.1"]}}', 'invalid JSON: ParseAddr("999.1.1.1"): IPv4 field has value >255');
  refuses('{"ExposedPorts":[]}', "invalid JSON: json: cannot unmarshal array into Go struct field CreateRequest.Config.ExposedPorts of type map[network.Port]struct {}");
  refuses('{"Cmd":"echo hi"}', "invalid JSON: json: cannot unmarshal string into Go struct field CreateRequest.Config.Cmd of type []string");
  refuses('{"ExposedPorts":{"x/tcp":{}}}', "invalid JSON: invalid port 'x': invalid syntax");
  refuses('{"NetworkingConfig":{"EndpointsConfig":{"bridge":{"MacAddress":"zz"}}}}', "invalid JSON: address zz: invalid MAC address");
});

test("zero values print as Docker prints them", () => {
  const text = print(createRequestSchema, { ...zero(createRequestSchema) });
  assert.equal(
    text,
    '{"Hostname":"","Domainname":"","User":"","AttachStdin":false,"AttachStdout":false,"AttachStderr":false,"Tty":false,"OpenStdin":false,"StdinOnce":false,"Env":null,"Cmd":null,"Image":"","Volumes":null,"WorkingDir":"","Entrypoint":null,"Labels":null,"HostConfig":null,"NetworkingConfig":null}',
  );
});
