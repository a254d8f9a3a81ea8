require "sinatra/base"

$stdout.sync = true

class App < Sinatra::Base
  post "/webhook" do
    event = request.body.read
    puts "received #{event}"
    content_type :json
    '{"received":true}'
  end
end
