<?php
// A handler that reads no body, as most do for GET. Each request runs this file anew.
$path = $_SERVER["REQUEST_URI"];
$file = getcwd() . "/php.seen";
if ($path === "/seen") {
    echo json_encode(file_exists($file) ? file($file, FILE_IGNORE_NEW_LINES) : []);
    return;
}
file_put_contents($file, $_SERVER["REQUEST_METHOD"] . " $path\n", FILE_APPEND);
echo "this is $path";
