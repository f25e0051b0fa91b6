// The types of the API's answers, from openapi.json: `npm run check` writes the file that this one reads.
import type { components, paths } from "../../../build/pages/api.js";

export type Schemas = components["schemas"];

type Answer<Responses> = Responses extends { 200: { content: { "application/json": infer Body } } } ? Body : never;

/** The paths that are read, each with its answer. */
export type Answers = {
  [Path in keyof paths as Path extends `/${infer Name}` ? Name : never]: paths[Path] extends {
    get: { responses: infer Responses };
  }
    ? Answer<Responses>
    : never;
};
