import assert from "node:assert/strict";
import { test } from "node:test";
import { isIPv4, parseAddress, parseHardwareAddress, parsePort } from "./address.ts";

test("addresses in their canonical form, or Go's words", () => {
  for (const [text, canonical] of [["", ""], ["10.0.0.1", "10.0.0.1"], ["2001:DB8:0:0::1", "2001:db8::1"], ["::ffff:1.2.3.4", "::ffff:1.2.3.4"], ["fe80::1%eth0", "fe80::1%eth0"]] as const) assert.equal(parseAddress(text), canonical);
  for (const [text, message] of [
    ["x", 'ParseAddr("x"): unable to parse IP'],
    ["1.2.3", 'ParseAddr("1.2.3"): IPv4 address too short'],
    ["1.2.3.4.5", 'ParseAddr("1.2.3.4.5"): IPv4 address too long'],
    ["01.2.3.4", 'ParseAddr("01.2.3.4"): IPv4 field has octet with leading zero'],
    ["1.2.3.256", 'ParseAddr("1.2.3.256"): IPv4 field has value >255'],
    ["1..2.3", 'ParseAddr("1..2.3"): IPv4 field must have at least one digit'],
    ["1:2", 'ParseAddr("1:2"): address string too short'],
    ["fe80::1%", 'ParseAddr("fe80::1%"): zone must be a non-empty string'],
    ["::g", 'ParseAddr("::g"): each colon-separated field must have at least one digit (at "g")'],
    ["::1g", 'ParseAddr("::1g"): unexpected character, want colon (at "g")'],
    ["1:2:", 'ParseAddr("1:2:"): colon must be followed by more characters (at ":")'],
    ["12345::", 'ParseAddr("12345::"): each group must have 4 or less digits (at "12345::")'],
    ["::1::2", 'ParseAddr("::1::2"): multiple :: in address (at ":2")'],
    ["1:2:3:4:5:6:7:8:9", 'ParseAddr("1:2:3:4:5:6:7:8:9"): trailing garbage after address (at "9")'],
    ["1:2:3:4::5:6:7:8", 'ParseAddr("1:2:3:4::5:6:7:8"): the :: must expand to at least one field of zeros'],
    ["1:2:1.2.3.4", 'ParseAddr("1:2:1.2.3.4"): embedded IPv4 address must replace the final 2 fields of the address (at "1.2.3.4")'],
    ["::1.2.3", 'ParseAddr("::1.2.3"): IPv4 address too short'],
    ["%x", 'ParseAddr("%x"): missing IPv6 address'],
  ] as const) {
    assert.throws(() => parseAddress(text), { message });
  }
  assert.deepEqual([isIPv4("1.2.3.4"), isIPv4("::1"), isIPv4("")], [true, false, false]);
});

test("hardware addresses", () => {
  for (const text of ["02:42:AC:11:00:02", "02-42-ac-11-00-02", "0242.ac11.0002"]) assert.equal(parseHardwareAddress(text), "02:42:ac:11:00:02");
  for (const text of ["zz", "02:42", "02:42-ac:11:00:02", "0242ac110002"]) assert.throws(() => parseHardwareAddress(text), { message: `address ${text}: invalid MAC address` });
});

test("ports", () => {
  for (const [text, normal] of [["80", "80/tcp"], ["080/UDP", "80/udp"], ["9/sctp", "9/sctp"], ["", ""]] as const) assert.equal(parsePort(text), normal);
  for (const [text, message] of [["x/tcp", "invalid port 'x': invalid syntax"], ["65536", "invalid port '65536': value out of range"], ["/tcp", "invalid port '': value is empty"]] as const) assert.throws(() => parsePort(text), { message });
});
