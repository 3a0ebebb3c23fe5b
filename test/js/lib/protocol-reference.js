// The reference for whatever concerns the two protocols alone: socket.io itself, behaving as `protocol-server` must.
// The suites run against it with TARGET=reference, which proves the suites.
import { createServer } from "node:http";
import { Server } from "socket.io";

const http = createServer();
const io = new Server(http, { pingInterval: 300, pingTimeout: 200, maxHttpBufferSize: 1e6, connectTimeout: 1000, cors: { origin: "*" } });

io.on("connection", (socket) => {
  socket.emit("auth", socket.handshake.auth);
  socket.on("message", (...args) => socket.emit("message-back", ...args));
  socket.on("message-with-ack", (...args) => args.pop()(...args));
});
io.of("/custom").on("connection", (socket) => socket.emit("auth", socket.handshake.auth));

const [host, port] = (process.argv[2] ?? "127.0.0.1:3000").split(":");
http.listen(Number(port), host);
