# Tells how Sinatra sees a request.
require "json"
require "sinatra/base"

class Seen < Sinatra::Base
  get("/*") { JSON.generate("url" => request.url, "client" => request.ip) }
end

run Seen
