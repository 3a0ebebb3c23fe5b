"use client";
import { useEffect, useState } from "react";
import { io } from "socket.io-client";

export function Messages({ room }: { room: string }) {
  const [messages, setMessages] = useState<{ id: string; text: string }[]>([]);
  useEffect(() => {
    const socket = io(process.env.NEXT_PUBLIC_SOCKET_URL!, { withCredentials: true });
    socket.on("connect", () => { if (!socket.recovered) socket.emit("room:join", room); });
    socket.on("message:new", (data, meta) => setMessages((all) => [...all, { id: meta.id, text: data.text }]));
    return () => { socket.disconnect(); };
  }, [room]);
  return <ul>{messages.map((m) => <li key={m.id}>{m.text}</li>)}</ul>;
}
