"""Sends one signed body in each way of Python's clients. Arguments: URL, signature, body, file of the CA."""
import asyncio
import http.client
import ssl
import sys
import urllib.parse
import urllib.request

import aiohttp
import httpx
import requests

url, signature, body, ca = sys.argv[1], sys.argv[2], sys.argv[3].encode(), sys.argv[4]
headers = {"X-Hub-Signature-256": signature}


def context():
    """Each client has its own: one that offers HTTP/2 changes it."""
    return ssl.create_default_context(cafile=ca)


def chunks():
    yield body[:5]
    yield body[5:]


print(requests.post(url, body, headers=headers, verify=ca, timeout=9).status_code, "requests")
print(requests.post(url, chunks(), headers=headers, verify=ca, timeout=9).status_code, "requests, chunked")
for http2 in [False, True]:
    with httpx.Client(http2=http2, verify=context(), trust_env=False) as client:
        name = "httpx, HTTP/2 where offered" if http2 else "httpx"
        print(client.post(url, content=body, headers=headers).status_code, name)
        print(client.post(url, content=chunks(), headers=headers).status_code, name + ", chunked")


async def by_aiohttp():
    async def pieces():
        for one in chunks():
            yield one

    async with aiohttp.ClientSession() as session:
        for name, data, expect in [("aiohttp", body, False), ("aiohttp, chunked", pieces(), False), ("aiohttp, Expect", body, True)]:
            async with session.post(url, data=data, headers=headers, ssl=context(), expect100=expect) as response:
                print(response.status, name)


asyncio.run(by_aiohttp())
target = urllib.parse.urlsplit(url)
kind = {"http": http.client.HTTPConnection, "https": http.client.HTTPSConnection}[target.scheme]
options = {"context": context()} if target.scheme == "https" else {}
plain = kind(target.hostname, target.port, **options)
plain.request("POST", target.path, body, headers)
print(plain.getresponse().status, "http.client")
opened = urllib.request.Request(url, body, headers)
print(urllib.request.urlopen(opened, **options).status, "urllib")
