# A Rack application for Puma; BODY is the body that it expects.
run lambda { |env|
  body = env["rack.input"].read.b
  right = env["REQUEST_METHOD"] == "GET" || body == ENV["BODY"].b
  [right ? 200 : 500, { "content-length" => "0" }, []]
}
