// lib/publish.ts
export async function publish(room: string, event: string, data: unknown, id?: string) {
  const response = await fetch(`${process.env.SOCKET_IO_INTERNAL_URL}/v1/emit`, {
    method: "POST",
    headers: { Authorization: `Bearer ${process.env.INTERNAL_API_KEY}`, "Content-Type": "application/json" },
    body: JSON.stringify({ id, event, to: { rooms: [room] }, data }),
  });
  if (!response.ok) throw new Error(`publish ${event}: ${response.status} ${await response.text()}`);
}
