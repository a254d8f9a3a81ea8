"""Real proxies in front of the gateway, each with its own health check of it."""

NGINX = """
daemon off; master_process off; pid FOLDER/nginx.pid; error_log stderr; events {}
http {
  access_log off;
  client_body_temp_path FOLDER/body; proxy_temp_path FOLDER/proxy; fastcgi_temp_path FOLDER/fastcgi;
  uwsgi_temp_path FOLDER/uwsgi; scgi_temp_path FOLDER/scgi;
  upstream gateway { server 127.0.0.1:GATEWAY; keepalive 4; }
  server {
    listen 127.0.0.1:FRONT;
    location / {
      proxy_pass http://gateway;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    }
  }
}
"""

HAPROXY = """
defaults
  mode http
  timeout connect 5s
  timeout client 30s
  timeout server 30s
  option forwardfor
frontend all
  bind 127.0.0.1:FRONT
  default_backend gateway
backend gateway
  option httpchk GET /readyz
  http-check expect status 200
  server one 127.0.0.1:GATEWAY check port ADMIN inter 200ms
"""

VARNISH = """
vcl 4.1;
backend gateway {
  .host = "127.0.0.1"; .port = "GATEWAY";
  # Varnish probes the port of its requests. No route has this path, and the response shows that the gateway serves.
  .probe = { .url = "/no-route"; .interval = 0.2s; .expected_response = 404; }
}
sub vcl_recv { return (pass); }
"""

ENVOY = """
static_resources:
  listeners:
  - address: { socket_address: { address: 127.0.0.1, port_value: FRONT } }
    filter_chains:
    - filters:
      - name: http
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: all
          http_protocol_options: { accept_http_10: true, default_host_for_http_10: "127.0.0.1" }
          route_config:
            virtual_hosts: [ { name: all, domains: ["*"], routes: [ { match: { prefix: "/" }, route: { cluster: gateway } } ] } ]
          http_filters:
          - name: router
            typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }
  clusters:
  - name: gateway
    type: STATIC
    health_checks:
    - { timeout: 1s, interval: 0.2s, no_traffic_interval: 0.2s, unhealthy_threshold: 1, healthy_threshold: 1, http_health_check: { path: /readyz } }
    load_assignment:
      cluster_name: gateway
      endpoints:
      - lb_endpoints:
        - endpoint:
            address: { socket_address: { address: 127.0.0.1, port_value: GATEWAY } }
            health_check_config: { port_value: ADMIN }
"""

# Program, its configuration, and the command before the configuration's path.
FRONTS = {
    "nginx": ("nginx", NGINX, ["nginx", "-c"]),
    "HAProxy": ("haproxy", HAPROXY, ["haproxy", "-f"]),
    "Varnish": ("varnishd", VARNISH, ["varnishd", "-j", "none", "-F", "-a", "127.0.0.1:FRONT", "-n", "FOLDER/varnish", "-f"]),
    "Envoy": ("envoy", ENVOY, ["envoy", "--use-dynamic-base-id", "--log-level", "warn", "-c"]),
}
