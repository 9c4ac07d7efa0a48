#!/busybox sh
printf 'Content-Type: text/plain\r\n\r\n'
echo "$REQUEST_METHOD $QUERY_STRING"
/busybox head -c "${CONTENT_LENGTH:-0}" | /busybox wc -c
