import json

from apscheduler.schedulers.background import BackgroundScheduler


def work(a, b, c=3, d=4):
    pass


scheduler = BackgroundScheduler(timezone="UTC")
scheduler.start(paused=True)
scheduler.add_job(func=work, trigger="interval", seconds=90, args=(1, 2), kwargs={"d": 5}, id="1", name="a job")
rows = [
    {
        "id": job.id, "name": job.name, "args": job.args, "kwargs": job.kwargs, "trigger": str(job.trigger),
        "seconds": job.trigger.interval.total_seconds(), "minutes": job.trigger.interval_length / 60,
        "executor": job.executor, "fields": hasattr(job.trigger, "fields"), "pending": job.pending,
    }
    for job in scheduler.get_jobs()
]  # fmt: skip
print(json.dumps(rows))
scheduler.shutdown()
