import assert from "node:assert/strict";
import { test } from "node:test";
import { checkProxy, overriddenVariables, proxyFor, proxySettings, withoutCredentials } from "./proxy.ts";

test("a proxy for each scheme, from settings before the environment", () => {
  const settings = proxySettings({ HTTP_PROXY: "e:1", https_proxy: "https://e:2", no_proxy: "x" }, { httpProxy: "http://s:1", httpsProxy: "", noProxy: "" });
  assert.deepEqual(settings, { httpProxy: "http://s:1", httpsProxy: "https://e:2", noProxy: "x" });
  assert.equal(proxyFor(new URL("http://a/"), { ...settings, httpProxy: "p:3128" }), "http://p:3128");
  assert.equal(proxyFor(new URL("https://a/"), settings), "https://e:2");
});

test("what is reached directly, by Go's rules", () => {
  const direct = (noProxy: string, url: string): boolean => proxyFor(new URL(url), { httpProxy: "p", httpsProxy: "p", noProxy }) === undefined;
  for (const url of ["http://localhost/", "http://127.9.9.9/", "https://[::1]:5000/"]) assert.ok(direct("", url), url);
  const cases: [string, string, boolean][] = [
    ["*", "http://a.example/", true],
    ["a.example", "http://a.example/", true],
    ["a.example", "http://b.a.example/", true],
    [".a.example", "http://a.example/", false],
    [".a.example", "http://b.a.example/", true],
    ["*.a.example", "http://b.a.example/", true],
    ["a.example:443", "https://a.example/", true],
    ["a.example:443", "http://a.example/", false],
    ["other, 10.0.0.0/8", "http://10.1.2.3/", true],
    ["10.0.0.0/8", "http://11.1.2.3/", false],
    ["fd00::/8", "http://[fd00::1]/", true],
    ["10.0.0.1", "http://10.0.0.1:5000/", true],
    ["xa.example", "http://a.example/", false],
    ["", "http://a.example/", false],
  ];
  for (const [noProxy, url, expected] of cases) assert.equal(direct(noProxy, url), expected, `${noProxy} ${url}`);
});

test("what is no proxy is refused without telling its password", () => {
  for (const text of ["", "p:3128", "http://u:secret@p", "https://p", "socks5://p", "socks5h://u:secret@p:1"]) checkProxy(text);
  for (const text of ["socks4://u:secret@p", "http://u:secret@"]) assert.throws(() => checkProxy(text), (error: Error) => !error.message.includes("secret"));
});

test("variables that settings override are known by name; credentials are not shown", () => {
  const environment = { HTTP_PROXY: "http://a", http_proxy: "http://b", https_proxy: "http://c", NO_PROXY: "x" };
  assert.deepEqual(overriddenVariables(environment, { httpProxy: "http://b", httpsProxy: "http://d", noProxy: "" }), ["HTTP_PROXY", "https_proxy"]);
  assert.equal(withoutCredentials("https://me:secret@example.org:1"), "https://xxxxx:xxxxx@example.org:1");
});
