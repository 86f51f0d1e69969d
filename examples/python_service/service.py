"""An inference service in under twenty lines: `python3 service.py PORT`. It serves one request at a time, as the experiments assume."""

import json, sys, time
from http.server import BaseHTTPRequestHandler, HTTPServer


class Service(BaseHTTPRequestHandler):
    def do_GET(self):  # /healthz: any success means ready
        self.answer({"status": "ready"})

    def do_POST(self):  # /request-static: one inference
        batch = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["batch_size"]
        start = time.monotonic()
        output = [sum(i * i for i in range(20_000)) for _ in range(batch)]
        self.answer({"output": output, "service_s": time.monotonic() - start})

    def answer(self, value):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(value).encode())

    def log_message(self, *_):
        pass


HTTPServer.request_queue_size = 1024
HTTPServer(("127.0.0.1", int(sys.argv[1])), Service).serve_forever()
