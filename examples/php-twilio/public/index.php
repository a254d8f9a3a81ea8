<?php

if ($_SERVER["REQUEST_METHOD"] !== "POST" || parse_url($_SERVER["REQUEST_URI"], PHP_URL_PATH) !== "/webhook") {
    http_response_code(404);
    exit;
}
file_put_contents("php://stdout", "received " . file_get_contents("php://input") . "\n");
header("Content-Type: text/xml");
echo "<Response><Message>Thank you</Message></Response>\n";
