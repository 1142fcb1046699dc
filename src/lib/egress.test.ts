import assert from "node:assert/strict";
import { test } from "node:test";
import { formatEgress, matchesName, parseEgress } from "./egress.ts";

test("rules in all forms, and in one", () => {
  const forms: Record<string, string> = {
    "allow=api.example.test:443": "allow=api.example.test:443",
    "allow=API.example.test.": "allow=api.example.test",
    "allow=*.example.test:80-90/udp": "allow=*.example.test:80-90/udp",
    "allow=*:443": "allow=*:443",
    "allow=db:5432/any": "allow=db:5432/any",
    "allow=192.0.2.1": "allow=192.0.2.1/32",
    "allow=192.0.2.1/24:53/udp": "allow=192.0.2.0/24:53/udp",
    "allow=10.0.0.0/8": "allow=10.0.0.0/8",
    "allow=10.0.0.0/8/tcp": "allow=10.0.0.0/8/tcp",
    "allow=2001:db8::1": "allow=[2001:db8::1/128]",
    "allow=[2001:db8::]:443": "allow=[2001:db8::/128]:443",
    "allow=[2001:db8::/32]:443/any": "allow=[2001:db8::/32]:443/any",
    "allow=2001:db8::/32": "allow=[2001:db8::/32]",
  };
  for (const [text, form] of Object.entries(forms)) {
    assert.equal(formatEgress(parseEgress(text)), form, text);
    assert.equal(formatEgress(parseEgress(form)), form, "again");
  }
});

test("what is no rule is refused with its text", () => {
  for (const text of ["", "api.example.test", "allow=", "deny=x", "allow=a:b", "allow=a:0-70000", "allow=a:90-80", "allow=a b", "allow=300.1.1.1", "allow=1.2.3.4/33", "allow=a.*.b", "allow=-a", "allow=a:80/sctp", "allow=[::1", "allow=a..b"]) {
    assert.throws(() => parseEgress(text), (error: Error) => error.message.includes(JSON.stringify(text)), text);
  }
});

test("a wildcard stands for anything below, not for the name itself", () => {
  assert.ok(matchesName("*.a.test", "x.a.test") && matchesName("*.a.test", "x.y.a.test") && matchesName("*", "b") && matchesName("a.test", "a.test"));
  assert.ok(!matchesName("*.a.test", "a.test") && !matchesName("*.a.test", ".a.test") && !matchesName("*.a.test", "xa.test") && !matchesName("a.test", "x.a.test"));
});
