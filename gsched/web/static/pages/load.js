import { el } from "../html.js";

export const Load = () => el.h1(null, "Load");
