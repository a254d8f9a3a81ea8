# A webhook endpoint in Sinatra that is right. nginx in front of it limits the body, since Puma 5 does not.
require "digest"
require "openssl"
require "set"
require "sinatra/base"

class Good < Sinatra::Base
  set :environment, :production
  set :show_exceptions, false
  set :raise_errors, false

  GITHUB = ENV.fetch("GITHUB_SECRET")
  SEEN = Set.new
  REJECTED = Hash.new { |hash, address| hash[address] = [] }
  LOCK = Mutex.new
  REJECTIONS = 40 # of an address in a minute, before the response is 429

  # The same response for every reason; 429 for an address with many.
  def reject(status)
    recent = LOCK.synchronize do
      now = Process.clock_gettime(Process::CLOCK_MONOTONIC)
      REJECTED[request.env["REMOTE_ADDR"]].reject! { |at| at < now - 60 }
      REJECTED[request.env["REMOTE_ADDR"]].push(now).size
    end
    halt recent > REJECTIONS ? 429 : status, ""
  end

  def work(_body) = nil

  not_found { halt 404, "" }

  post "/github" do
    body = request.body.read
    expected = "sha256=" + OpenSSL::HMAC.hexdigest("SHA256", GITHUB, body)
    reject 401 unless Rack::Utils.secure_compare(expected, request.env["HTTP_X_HUB_SIGNATURE_256"].to_s)
    # X-GitHub-Delivery is not signed: the body is the id.
    id = Digest::SHA256.hexdigest(body)
    LOCK.synchronize do
      halt 200, "duplicate" if SEEN.include?(id)
      work(body)
      SEEN.add(id) # after success
    end
    "received"
  end
end

run Good
