-- A store that version 1 of the schema has written: a node was killed while it ran jobs. Missing slots are made anew.
BEGIN TRANSACTION;
CREATE TABLE gsched_activity (
	node VARCHAR(255) NOT NULL, 
	at BIGINT NOT NULL, 
	document TEXT NOT NULL, 
	PRIMARY KEY (node)
);
CREATE TABLE gsched_changes (
	seq INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	job_id VARCHAR(255) NOT NULL, 
	at BIGINT NOT NULL, 
	origin VARCHAR(16) NOT NULL
);
INSERT INTO "gsched_changes" VALUES(1,'every',1795971894588,'39127acef0cb75a9');
INSERT INTO "gsched_changes" VALUES(2,'cron',1795971895116,'39127acef0cb75a9');
INSERT INTO "gsched_changes" VALUES(3,'paused',1795971895174,'39127acef0cb75a9');
INSERT INTO "gsched_changes" VALUES(4,'paused',1795971895266,'39127acef0cb75a9');
CREATE TABLE gsched_former (
	id VARCHAR(300) NOT NULL, 
	job_id VARCHAR(255) NOT NULL, 
	slot SMALLINT NOT NULL, 
	schedule BIGINT NOT NULL, 
	begins BIGINT, 
	next_run BIGINT, 
	late_until BIGINT, 
	until BIGINT, 
	name TEXT NOT NULL, 
	document TEXT NOT NULL, 
	PRIMARY KEY (id)
);
CREATE TABLE gsched_job_tags (
	tag VARCHAR(255) NOT NULL, 
	job_id VARCHAR(255) NOT NULL, 
	PRIMARY KEY (tag, job_id)
);
INSERT INTO "gsched_job_tags" VALUES('a','every');
INSERT INTO "gsched_job_tags" VALUES('b','every');
CREATE TABLE gsched_jobs (
	id VARCHAR(255) NOT NULL, 
	slot SMALLINT NOT NULL, 
	rev BIGINT NOT NULL, 
	admitted BOOLEAN NOT NULL, 
	paused BOOLEAN NOT NULL, 
	next_run BIGINT, 
	schedule BIGINT NOT NULL, 
	begins BIGINT, 
	late_until BIGINT, 
	parked TEXT, 
	name TEXT NOT NULL, 
	document TEXT NOT NULL, 
	created_at BIGINT NOT NULL, 
	updated_at BIGINT NOT NULL, 
	runs BIGINT DEFAULT 0 NOT NULL, 
	failures BIGINT DEFAULT 0 NOT NULL, 
	last_run BIGINT, 
	last_duration DOUBLE, 
	last_error TEXT, 
	recent TEXT, 
	PRIMARY KEY (id)
);
INSERT INTO "gsched_jobs" VALUES('every',71,1795971894588,1,0,1767225600000,1795971894588,1767225600000,NULL,NULL,'fail','{"func":"jobs:fail","args":[1,"two"],"kwargs":{},"trigger":{"type":"interval","seconds":3600,"timezone":"UTC","anchor":{"$date":"2026-01-01T00:00:00+00:00"}},"executor":"default","misfire_grace_time":null,"coalesce":true,"max_instances":1,"timeout":null,"recover":false,"tags":["a","b"],"metadata":{}}',1795971894588,1795971894588,1,1,1795971899129,0.009,'failed: ValueError: no','g35dGg8f');
INSERT INTO "gsched_jobs" VALUES('cron',248,1795971895116,0,0,1796007600000,1795971895116,1796007600000,NULL,NULL,'tick','{"func":"jobs:tick","args":[],"kwargs":{},"trigger":{"type":"cron","hour":"3","timezone":"UTC"},"executor":"default","misfire_grace_time":60,"coalesce":true,"max_instances":1,"timeout":null,"recover":false,"tags":[],"metadata":{}}',1795971895116,1795971895116,0,0,NULL,NULL,NULL,NULL);
INSERT INTO "gsched_jobs" VALUES('paused',155,1795971895175,0,1,1795975495174,1795971895175,1795975495174,NULL,NULL,'tick','{"func":"jobs:tick","args":[],"kwargs":{},"trigger":{"type":"interval","seconds":3600,"timezone":"UTC","anchor":{"$date":"2026-11-29T17:04:55.174000+00:00"}},"executor":"default","misfire_grace_time":null,"coalesce":true,"max_instances":1,"timeout":null,"recover":false,"tags":[],"metadata":{}}',1795971895174,1795971895266,0,0,NULL,NULL,NULL,NULL);
CREATE TABLE gsched_meta (
	"key" VARCHAR(50) NOT NULL, 
	value TEXT NOT NULL, 
	PRIMARY KEY ("key")
);
INSERT INTO "gsched_meta" VALUES('schema','1');
CREATE TABLE gsched_nodes (
	id VARCHAR(255) NOT NULL, 
	alive BOOLEAN NOT NULL, 
	watermark BIGINT NOT NULL, 
	acked BIGINT NOT NULL, 
	beat BIGINT NOT NULL, 
	draining BOOLEAN NOT NULL, 
	drain_requested BIGINT, 
	"left" BOOLEAN NOT NULL, 
	host TEXT, 
	pid INTEGER, 
	process TEXT, 
	started_at BIGINT, 
	beat_at BIGINT, 
	ended_at BIGINT, 
	settled_at BIGINT, 
	PRIMARY KEY (id)
);
INSERT INTO "gsched_nodes" VALUES('1795971895345-host-1-0a0b',1,1795971900753,1795971899752,18,0,NULL,0,'host',3862,'null',1795971895345,1795971900503,NULL,NULL);
CREATE TABLE gsched_run_tags (
	tag VARCHAR(255) NOT NULL, 
	"key" VARCHAR(400) NOT NULL, 
	PRIMARY KEY (tag, "key")
);
INSERT INTO "gsched_run_tags" VALUES('a','every@2026-11-29T17:00:00.000Z#1');
INSERT INTO "gsched_run_tags" VALUES('b','every@2026-11-29T17:00:00.000Z#1');
CREATE TABLE gsched_runs (
	"key" VARCHAR(400) NOT NULL, 
	state VARCHAR(8) NOT NULL, 
	node VARCHAR(255), 
	slot SMALLINT NOT NULL, 
	job_id VARCHAR(255) NOT NULL, 
	job_name TEXT, 
	tags TEXT, 
	scheduled_at BIGINT NOT NULL, 
	due_at BIGINT, 
	attempt INTEGER NOT NULL, 
	request VARCHAR(255), 
	cause VARCHAR(16), 
	outcome VARCHAR(16), 
	reason TEXT, 
	until BIGINT, 
	started_at BIGINT, 
	finished_at BIGINT, 
	error_type TEXT, 
	error_message TEXT, 
	traceback TEXT, 
	expires_at BIGINT, 
	PRIMARY KEY ("key")
);
INSERT INTO "gsched_runs" VALUES('every@2026-11-29T17:00:00.000Z#1','ended','1795971895345-host-1-0a0b',71,'every','fail','["a", "b"]',1795971600000,NULL,1,NULL,NULL,'failed',NULL,NULL,1795971899129,1795971899138,'ValueError','no',NULL,1797181499138);
CREATE TABLE gsched_slots (
	id SMALLINT NOT NULL, 
	owner VARCHAR(255), 
	epoch BIGINT NOT NULL, 
	watermark BIGINT NOT NULL, 
	acked BIGINT NOT NULL, 
	attached BOOLEAN NOT NULL, 
	open_from BIGINT, 
	PRIMARY KEY (id)
);
INSERT INTO "gsched_slots" VALUES(0,'1795971895345-host-1-0a0b',1,1795971895755,0,1,NULL);
INSERT INTO "gsched_slots" VALUES(1,'1795971895345-host-1-0a0b',1,1795971895755,0,1,NULL);
INSERT INTO "gsched_slots" VALUES(2,'1795971895345-host-1-0a0b',1,1795971895755,0,1,NULL);
CREATE INDEX gsched_changes_at ON gsched_changes (at);
CREATE INDEX gsched_former_slot ON gsched_former (slot);
CREATE INDEX gsched_former_job ON gsched_former (job_id);
CREATE INDEX gsched_job_tags_job ON gsched_job_tags (job_id);
CREATE INDEX gsched_jobs_due ON gsched_jobs (slot, next_run);
CREATE INDEX gsched_jobs_parked ON gsched_jobs (parked) WHERE parked IS NOT NULL;
CREATE INDEX gsched_run_tags_run ON gsched_run_tags ("key");
CREATE INDEX gsched_runs_expiring ON gsched_runs (expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX gsched_runs_outcome ON gsched_runs (outcome, scheduled_at);
CREATE INDEX gsched_runs_until ON gsched_runs (until) WHERE until IS NOT NULL;
CREATE INDEX gsched_runs_waiting ON gsched_runs (job_id, due_at) WHERE state = 'waiting';
CREATE INDEX gsched_runs_unfinished ON gsched_runs (state, slot) WHERE state <> 'ended';
CREATE INDEX gsched_runs_of_job ON gsched_runs (job_id, scheduled_at);
CREATE INDEX gsched_runs_scheduled ON gsched_runs (scheduled_at);
COMMIT;
