<?php
// Sends one signed body by PHP's HTTP stream wrapper. Arguments: URL, signature, body, file of the CA.
[, $url, $signature, $body, $ca] = $argv;
foreach (['1.0', '1.1'] as $version) {
    $http = [
        'method' => 'POST',
        'header' => "X-Hub-Signature-256: $signature\r\nContent-Type: application/json\r\n",
        'content' => $body,
        'protocol_version' => $version,
        'ignore_errors' => true,
    ];
    file_get_contents($url, false, stream_context_create(['http' => $http, 'ssl' => ['cafile' => $ca]]));
    echo explode(' ', $http_response_header[0])[1], " stream, HTTP/$version\n";
}
