# Sends one signed body in each way of Ruby's Net::HTTP. Arguments: URL, signature, body, file of the CA.
require "net/http"
require "stringio"

url, signature, body, ca = ARGV
uri = URI(url)
Net::HTTP.start(uri.host, uri.port, use_ssl: uri.scheme == "https", ca_file: ca) do |http|
  send = lambda do |name, &fill|
    request = Net::HTTP::Post.new(uri, "X-Hub-Signature-256" => signature)
    fill.call(request)
    puts "#{http.request(request).code} #{name}"
  end
  send.call("Net::HTTP") { |request| request.body = body }
  send.call("Net::HTTP, chunked") do |request|
    request["Transfer-Encoding"] = "chunked"
    request.body_stream = StringIO.new(body)
  end
  send.call("Net::HTTP, Expect") do |request|
    request["Expect"] = "100-continue"
    request.body = body
  end
end
