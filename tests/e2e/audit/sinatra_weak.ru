# Weak webhook endpoints as they are found in Rack applications, here Sinatra; gallery.yaml names the weakness of each
# path. Never copy code from here.
require "json"
require "openssl"
require "set"
require "sinatra/base"

GITHUB = ENV.fetch("GITHUB_SECRET")
OLD_GITHUB = ENV["OLD_GITHUB_SECRET"].to_s # not set
STRIPE = ENV.fetch("STRIPE_SECRET")
SEEN = Set.new

module Right
  def raw
    request.body.rewind
    request.body.read
  end

  def hex(secret, text, digest = "SHA256")
    OpenSSL::HMAC.hexdigest(digest, secret, text)
  end

  def header(name)
    request.env["HTTP_#{name.upcase.tr("-", "_")}"].to_s
  end

  def same(expected, given)
    Rack::Utils.secure_compare(expected, given)
  end

  def github?(secrets = [GITHUB])
    secrets.any? { |secret| same("sha256=" + hex(secret, raw), header("X-Hub-Signature-256")) }
  end

  def unauthorized
    halt 401, "unauthorized"
  end

  # Carries out the event; 409 for a duplicate.
  def processed(key = nil)
    halt 409, "duplicate" if key && !SEEN.add?(key)
    "processed"
  end
end

# In development, as it was started by hand: an exception shows its stack trace.
class Debug < Sinatra::Base
  helpers Right
  set :environment, :development
  set :show_exceptions, true

  post "/debug" do
    JSON.parse(raw)
    github? ? processed(raw) : unauthorized
  end
end

class Weak < Sinatra::Base
  helpers Right
  set :environment, :production
  set :show_exceptions, false
  set :raise_errors, false

  post "/unsigned" do
    processed
  end

  post "/signature-presence" do
    unauthorized if header("X-Hub-Signature-256").empty?
    processed
  end

  post "/parsed-body" do
    known = begin
      JSON.parse(raw).slice("id", "type")
    rescue JSON::ParserError, NoMethodError
      halt 400
    end
    unauthorized unless same("sha256=" + hex(GITHUB, known.to_json), header("X-Hub-Signature-256"))
    processed("parsed #{raw}")
  end

  post "/prefix" do
    given = header("X-Hub-Signature-256").delete_prefix("sha256=")
    unauthorized if given.empty? || !hex(GITHUB, raw).start_with?(given)
    processed
  end

  post "/equals" do
    unauthorized unless header("X-Hub-Signature-256") == "sha256=" + hex(GITHUB, raw)
    processed("equals #{raw}")
  end

  post "/unset-secret" do
    unauthorized unless github?([GITHUB, OLD_GITHUB])
    processed("unset #{raw}")
  end

  post "/no-clock" do
    parts = header("Stripe-Signature").scan(/(\w+)=(\w+)/).to_h
    unauthorized unless same(hex(STRIPE, "#{parts["t"]}.#{raw}"), parts["v1"].to_s)
    processed("no-clock #{raw}")
  end

  post "/no-dedupe" do
    github? ? processed : unauthorized
  end

  # The address of the first proxy decides who is internal.
  post "/forwarded" do
    internal = %w[127.0.0.1 ::1].include?(header("X-Forwarded-For").split(",").first.to_s.strip)
    internal || github? ? processed : unauthorized
  end

  route "PUT", "/any-method" do
    github? ? processed : unauthorized
  end
  post "/any-method" do
    github? ? processed : unauthorized
  end
end

run Rack::Cascade.new([Weak, Debug], [404])
