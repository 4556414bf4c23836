import { WorkerEntrypoint } from "cloudflare:workers";

// Gives back what it gets.
export class Echo extends WorkerEntrypoint {
  echo(bytes) {
    return bytes;
  }
}

export default {};
