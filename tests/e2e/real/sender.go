// Sends one signed body in each way of Go's net/http. Arguments: URL, signature, body, file of the CA.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"
)

func main() {
	url, signature, body := os.Args[1], os.Args[2], os.Args[3]
	pem, err := os.ReadFile(os.Args[4])
	if err != nil {
		panic(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	for name, http2 := range map[string]bool{"HTTP/1.1": false, "HTTP/2 where offered": true} {
		transport := &http.Transport{
			TLSClientConfig:       &tls.Config{RootCAs: roots},
			ForceAttemptHTTP2:     http2,
			ExpectContinueTimeout: time.Second,
		}
		client := &http.Client{Transport: transport}
		send(client, name, url, signature, strings.NewReader(body), nil)
		// A reader without a known length is sent in chunks.
		send(client, name+", chunked", url, signature, io.MultiReader(strings.NewReader(body)), nil)
		send(client, name+", Expect", url, signature, strings.NewReader(body), http.Header{"Expect": {"100-continue"}})
		trailing := http.Header{"Trailer": {"X-Sum"}}
		send(client, name+", announced trailer", url, signature, io.MultiReader(strings.NewReader(body)), trailing)
	}
}

func send(client *http.Client, name, url, signature string, body io.Reader, headers http.Header) {
	request, err := http.NewRequest(http.MethodPost, url, body)
	if err != nil {
		panic(err)
	}
	for header, values := range headers {
		if header == "Trailer" {
			request.Trailer = http.Header{values[0]: {"1"}}
			continue
		}
		request.Header[header] = values
	}
	request.Header.Set("X-Hub-Signature-256", signature)
	response, err := client.Do(request)
	if err != nil {
		fmt.Println("error", name, err)
		return
	}
	_, _ = io.Copy(io.Discard, response.Body)
	_ = response.Body.Close()
	fmt.Println(response.StatusCode, name)
}
