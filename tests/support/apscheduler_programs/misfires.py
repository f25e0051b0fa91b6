from datetime import datetime, timedelta
from queue import Queue

from apscheduler.events import EVENT_JOB_EXECUTED, EVENT_JOB_MISSED
from apscheduler.schedulers.background import BackgroundScheduler

heard = Queue()
scheduler = BackgroundScheduler(job_defaults={"misfire_grace_time": 3600})
scheduler.add_listener(lambda event: heard.put((event.job_id, event.code)), EVENT_JOB_EXECUTED | EVENT_JOB_MISSED)
scheduler.start()
late = datetime.now() - timedelta(minutes=5)
job = scheduler.add_job(print, "date", run_date=late, args=["five minutes late"], id="late", coalesce=True)
print(heard.get(timeout=20), job.misfire_grace_time == 3600, job.coalesce)
scheduler.add_job(print, "date", run_date=late, id="too late", misfire_grace_time=30)
print(heard.get(timeout=20))
scheduler.shutdown()
