from apscheduler.schedulers.background import BackgroundScheduler

scheduler = BackgroundScheduler()
scheduler.configure(
    {
        "apscheduler.jobstores.default": {"type": "memory"},
        "apscheduler.jobstores.second": {"type": "memory"},
        "apscheduler.executors.default.type": "threadpool",
        "apscheduler.executors.default.max_workers": "20",
        "apscheduler.executors.processpool": {"type": "processpool", "max_workers": "5"},
        "apscheduler.job_defaults.coalesce": "false",
        "apscheduler.job_defaults.max_instances": "3",
        "apscheduler.timezone": "UTC",
    }
)
scheduler.start(paused=True)
job = scheduler.add_job(print, "interval", hours=1)
print(job.coalesce, job.max_instances, scheduler.timezone, job.next_run_time.utcoffset())
scheduler.shutdown()
