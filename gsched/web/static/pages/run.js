import { el } from "../html.js";

export const Run = () => el.h1(null, "Run");
