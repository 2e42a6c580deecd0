import project from "../deno.json" with { type: "json" };

/** Of the project, as deno.json has it. */
export const VERSION: string = project.version;
