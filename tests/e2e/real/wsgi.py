"""A WSGI application for gunicorn; BODY is the body that it expects."""
import os


def application(environ, start_response):
    # gunicorn gives a chunked body without a length.
    body = environ["wsgi.input"].read().decode()
    right = environ["REQUEST_METHOD"] == "GET" or body == os.environ["BODY"]
    start_response("200 OK" if right else "500 Wrong body", [("Content-Length", "0")])
    return []
