<?php // Tells how PHP sees a request.
$scheme = isset($_SERVER["HTTPS"]) ? "https" : "http";
echo json_encode(["url" => "$scheme://{$_SERVER['HTTP_HOST']}{$_SERVER['REQUEST_URI']}", "client" => $_SERVER["REMOTE_ADDR"]]);
