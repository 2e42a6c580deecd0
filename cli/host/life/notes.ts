import type { Logger } from "@logtape/logtape";
import type { Note } from "../../../core/wire/kernel.ts";

export function logNote(log: Logger, note: Note): void {
  switch (note.kind) {
    case "member":
      return log.info("Member {node} is {status}", { ...note });
    case "leader":
      return log.debug("Leads partition {partition} in term {term}", { ...note });
    case "stepped-down":
      return log.debug("No longer leads partition {partition}: {why}", { ...note });
    case "view":
      return log.info("Network view {version}, epoch {epoch}", { ...note });
    case "standing":
      if (note.state === "removed") {
        return log.warn(
          "This node was removed from the network: it holds nothing, and stays out. `space-opera drain --cancel` with " +
            "its name takes it back; stop it if that is not wanted",
        );
      }
      if (note.state === "outside") {
        return log.warn(
          "The network does not know this node any more. If it is not taken in again within a minute, start it as a new " +
            "one: with another --id, on an empty --data",
        );
      }
      return log.info("This node is {state}", { ...note });
    case "refused":
      return log.warn("Refused a {message} message from {from}: {why}", { ...note });
    case "snapshot-sent":
    case "snapshot-installed":
    case "dropped":
      return log.debug("Partition {partition}: {kind}", { ...note });
    case "audit":
      // What was asked and why it was refused name keys: that is for the audit log, which is encrypted.
      return log.debug("Noted for the audit what {who} asked", { who: note.who });
    default:
      return log.debug("{kind} {note}", { kind: note.kind, note });
  }
}
