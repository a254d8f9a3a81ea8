"""Reads JSON texts with the readers of Python, Node, Ruby and PHP, and writes what each finds at a pointer.

Writes json_readers.json next to itself: per text and pointer, and per reader, a value, "absent" or "error".
Run: python tests/vectors/make_json_readers.py (recorded with Python 3.11.7, Node 20.20.2, Ruby 3.1.2, PHP 8.2.36)
"""
import json
import math
import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parent

NODE = """
const found = ([text, pointer]) => {
  try {
    let value = JSON.parse(text);
    for (const name of pointer.split("/").slice(1)) {
      if (value === null || typeof value !== "object" || !Object.hasOwn(value, name)) return "absent";
      value = value[name];
    }
    return { value: typeof value === "number" && !Number.isFinite(value) ? String(value) : value };
  } catch { return "error"; }
};
console.log(JSON.stringify(JSON.parse(require("fs").readFileSync(0)).map(found)));
"""

RUBY = """
require "json"
found = lambda do |text, pointer|
  value = JSON.parse(text)
  pointer.split("/")[1..].each do |name|
    inside = value.is_a?(Hash) ? value.key?(name) : value.is_a?(Array) && name.to_i < value.size
    return "absent" unless inside
    value = value.is_a?(Hash) ? value[name] : value[name.to_i]
  end
  { "value" => value.is_a?(Float) && !value.finite? ? value.to_s : value }
rescue JSON::ParserError
  "error"
end
puts JSON.generate(JSON.parse($stdin.read).map { |text, pointer| found.call(text, pointer) })
"""

PHP = """
function found($text, $pointer) {
  $value = json_decode($text, true);
  if (json_last_error()) return "error";
  foreach (array_slice(explode("/", $pointer), 1) as $name) {
    if (!is_array($value) || !array_key_exists($name, $value)) return "absent";
    $value = $value[$name];
  }
  return ["value" => is_float($value) && !is_finite($value) ? "inf" : $value];
}
echo json_encode(array_map(fn($case) => found(...$case), json_decode(stream_get_contents(STDIN))));
"""


def cases():
    yield r'{"action":"update","data":{"title":"abc\ud83d"},"t":17}', "/t"
    yield r'{"action":"update","data":{"title":"abc\ud83d"},"t":17}', "/action"
    for beside in ["1e999", '{"a":1,"a":2}', r'"\u0000"', "NaN", "Infinity", "tru", r'"\x"', '"\n"', '"\t"', "+1", ".5", "1.", "0x10"]:
        yield f'{{"x":{beside},"id":1}}', "/id"
    for depth in [33, 90, 101, 400, 900, 1000]:
        yield f'{{"d":{"[" * depth}1{"]" * depth},"id":3}}', "/id"
    for text in [
        '{"id":1,"id":2}', r'{"id":1,"\u0069d":2}', '{"id":1,"ID":2}', '{"ID":2}', r'{"\udc00":1,"id":1}',
        r'{"\u0000id":1,"id":2}', '{"id":1}\n', ' {"id":1}', '\ufeff{"id":1}', '{"id":1,}', '{"id":01}', '{"id":NaN}',
        "{'id':1}", '{"id":1}//', '{"id":1}{}', '{/**/"id":1}', '{"id":1}\0', '{"id" : 1 , "y" : [ ] }', '{"id":-0.0e-0}',
        '{"id":12345678901234567890}', '{"id":"\\u00e9\\ud83e\\udd80é🦀"}', '{"id":1E+2}', '{"id":true}', '{"id":null}',
    ]:
        yield text, "/id"
    yield '{"data":{"id":1},"data":{"id":2}}', "/data/id"
    yield '{"data":{"id":1},"Data":{"id":2}}', "/data/id"
    yield '{"a":[0,{"b":"c"}]}', "/a/1/b"
    yield '{"a":{"0":"c"}}', "/a/0"


def python(text, pointer):
    try:
        value = json.loads(text.encode())
        for name in pointer.split("/")[1:]:
            value = value[int(name)] if isinstance(value, list) else value[name]
    except (KeyError, IndexError):
        return "absent"
    except (ValueError, RecursionError):
        return "error"
    return {"value": str(value) if isinstance(value, float) and not math.isfinite(value) else value}


def other(command, texts):
    done = subprocess.run(command, input=json.dumps(texts), capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


texts = [list(case) for case in cases()]
readers = {
    "python": [python(*case) for case in texts],
    "node": other(["node", "-e", NODE], texts),
    "ruby": other(["ruby", "-e", RUBY], texts),
    "php": other(["php", "-r", PHP], texts),
}
rows = [
    {"text": text, "pointer": pointer, **{name: found[at] for name, found in readers.items()}}
    for at, (text, pointer) in enumerate(texts)
]
lines = ",\n".join(json.dumps(row) for row in rows)
(HERE / "json_readers.json").write_text(f"[\n{lines}\n]\n")
