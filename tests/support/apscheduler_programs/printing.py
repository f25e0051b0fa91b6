import io

from apscheduler.schedulers.background import BackgroundScheduler


def work():
    pass


scheduler = BackgroundScheduler(timezone="UTC")
scheduler.start(paused=True)
scheduler.add_job(work, "date", run_date="2109-11-06 16:30:05", id="b", name="a job")
out = io.StringIO()
scheduler.print_jobs(out=out)
print(out.getvalue())
job = scheduler.get_job("b")
print(str(job), "|", job.trigger, "|", repr(job.trigger))
scheduler.shutdown()
