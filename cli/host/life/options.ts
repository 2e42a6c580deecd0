import type { Logger } from "@logtape/logtape";
import type { Settings } from "../../../core/base/limits.ts";
import type { Sealing } from "../identity/sealing.ts";
import type { InviteToken } from "../identity/token.ts";
import type { Recorder } from "../recorder.ts";

export interface StartOptions {
  readonly data: string;
  /** "host:port"; port 0 takes a free one. */
  readonly listen: string;
  /** What others are told; by default the address listened on. */
  readonly advertise?: string;
  /** Addresses of any nodes of the network to join, where the data directory is empty. None: a network of its own. */
  readonly join?: readonly string[];
  /**
   * An open network: no TLS, no log-in, nothing encrypted, on loopback addresses only. Of a node that has been started
   * before its data directory knows, and has to agree.
   */
  readonly open?: boolean;
  /** Lets it into a private network, where the data directory is empty. */
  readonly token?: InviteToken;
  /** What opens the keyring, or seals one that is made now. Absent: it is open. */
  readonly sealing?: Sealing;
  /** Where a network that begins here writes the profile that lets in its first operator; default: into `data`. */
  readonly profileOut?: string;
  /** How long its certificates are valid, where that is not the usual time. */
  readonly certificateMs?: number;
  /** All three of a node's first start only; later the data directory says. */
  readonly id?: string;
  readonly zone?: string;
  readonly capacity?: number;
  /** Of a new network. */
  readonly settings?: Partial<Settings>;
  /** Below this many free bytes it takes no writes. Default: 256 MiB, or 1/20 of a smaller file system. */
  readonly reserve?: number;
  /** False: a node whose files are damaged is refused, where it would otherwise come back with what its peers have. */
  readonly rebuild?: boolean;
  /** Writes down each life of the node. Whoever made it closes it. */
  readonly recorder?: Recorder;
  readonly log: Logger;
}
