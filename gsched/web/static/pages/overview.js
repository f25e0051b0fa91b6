import { el } from "../html.js";

export const Overview = () => el.h1(null, "Overview");
