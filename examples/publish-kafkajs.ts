// lib/publish.ts
import { Kafka, Partitioners } from "kafkajs";

const kafka = new Kafka({ clientId: "next", brokers: process.env.KAFKA_BROKERS!.split(",") });
const producer = kafka.producer({ idempotent: true, createPartitioner: Partitioners.DefaultPartitioner });
const connected = producer.connect();

export async function publish(room: string, event: string, data: unknown, id?: string) {
  await connected;
  await producer.send({ topic: "interlink.events", messages: [{ key: room, value: JSON.stringify({ id, event, to: { rooms: [room] }, data }) }] });
}
