export { prefixEnd } from "../../core/base/bytes.ts";
